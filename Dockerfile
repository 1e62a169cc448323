# The trained model behind an address (target `address`), and a server for runs (target `mlflow`).
# docs/deploy.md has the commands; a test runs these lines in a fresh root.
FROM python:3.11-slim-bookworm AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --system --no-create-home --uid 10001 lesion

FROM base AS mlflow
WORKDIR /srv
COPY requirements.txt .
RUN pip install $(grep ^mlflow== requirements.txt)
# A volume that is put there belongs to this user, as the folder does.
RUN install --directory --owner=lesion /data
USER lesion
EXPOSE 5000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:5000/health')"]
CMD ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000", "--workers", "1", "--backend-store-uri", "sqlite:////data/mlflow.db", "--artifacts-destination", "/data/artifacts"]

# The last one is what `docker build .` makes.
FROM base AS address
# PyPI's torch brings three gigabytes for GPUs. From here torch and torchvision come without: both,
# since neither loads beside the other's other kind. pip takes `2.14.1+cpu` for the later version.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /srv
COPY requirements-serving.txt .
RUN pip install --extra-index-url "$TORCH_INDEX" -r requirements-serving.txt
# What changes seldom first: a new model is one small layer.
COPY stages/lesion stages/lesion
COPY tools/app.py tools/
COPY model model
USER lesion
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health')"]
CMD ["python", "tools/app.py", "--host", "0.0.0.0", "--port", "8000", "--no-browser", "--model", "model"]
