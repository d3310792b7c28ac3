# resnet-bench with all frameworks, on CPUs:
#   docker build --tag resnet-bench .
#   docker run --rm --hostname "$(hostname)" --volume "$PWD/results:/bench/results" resnet-bench
#
# The host's name is the machine's name in the records. Words after `resnet-bench` replace `run`.
FROM python:3.12-slim

# Inductor and AOTInductor compile C++
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*

# Only what you compare: --build-arg EXTRAS=onnxruntime,openvino
ARG EXTRAS=all
# Another index, such as that of PyTorch's wheels for CPUs alone, which are smaller
ARG PIP_EXTRA_INDEX_URL

COPY . /source
RUN pip install --no-cache-dir "/source[${EXTRAS}]"

WORKDIR /bench
ENTRYPOINT ["resnet-bench"]
CMD ["run"]
