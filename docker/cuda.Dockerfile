# arcage as an HTTP server on an NVIDIA GPU (docs/guide/server.md). Build it in the folder above this one:
#   docker build -f docker/cuda.Dockerfile -t arcage-cuda .
# CUDA and cuDNN are packages of PyPI, so the base needs none; the driver is that of the host
# (`docker run --gpus all`, NVIDIA Container Toolkit). Append @sha256:... to the base to pin it by digest as well.
ARG BASE=python:3.12.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY arcage/ arcage/
RUN python -m venv /opt/arcage && /opt/arcage/bin/pip install --no-cache-dir --disable-pip-version-check ".[app,formats,gpu]"

FROM ${BASE}
# LightGBM needs libgomp, for `arcage fit` and `arcage doctor`.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin arcage
COPY --from=build /opt/arcage /opt/arcage
# Nothing else is written than compiled networks, there; without the folder, the server starts a second later.
ENV PATH=/opt/arcage/bin:/usr/local/bin:/usr/bin:/bin XDG_CACHE_HOME=/tmp/cache PYTHONDONTWRITEBYTECODE=1
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /tmp
USER 10001
EXPOSE 7860
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]
ENTRYPOINT ["arcage", "app", "--host", "0.0.0.0", "--port", "7860", "--device", "cuda"]
