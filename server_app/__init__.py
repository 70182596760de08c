"""What runs with the coordinator: training, publishing, serving."""
