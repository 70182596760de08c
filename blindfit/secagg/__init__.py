"""What coordinator and participants share of secure aggregation; see docs/secure-aggregation.md.

Bonawitz et al. 2017, Practical Secure Aggregation for Privacy-Preserving Machine Learning (CCS),
in its version against an active coordinator; with the sparse graph of Bell et al. 2020, Secure
Single-Server Aggregation with (Poly)Logarithmic Overhead (CCS), for more than 100 participants.
"""
