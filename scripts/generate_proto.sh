#!/bin/sh
# Generate the gRPC stubs: generate_proto.sh PYTHON FOLDER
set -eu
"$1" -m grpc_tools.protoc -Iproto --python_out="$2" --pyi_out="$2" --grpc_python_out="$2" \
    proto/blindfit/v1/*.proto
