# The workstation: docker build -t edgecnn . && docker run --rm -v "$PWD:/work" -u "$(id -u)" edgecnn export model.keras
FROM python:3.13-slim-trixie
COPY . /src
RUN pip install --no-cache-dir --constraint /src/constraints.txt '/src[all]' && rm -rf /src
WORKDIR /work
ENV HOME=/tmp
USER 1000
ENTRYPOINT ["edgecnn"]
