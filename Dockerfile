# One image for the scheduler, the workers, the command line and the MLflow server, so that their
# versions cannot differ.
# For production pin the base by digest too: docker buildx imagetools inspect python:3.11-slim-bookworm
FROM docker.io/library/python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /opt/distreg

# The requirements first: this layer is built again only when they change.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > requirements.txt \
 && python -m pip install -c constraints.txt -r requirements.txt

COPY README.md LICENSE ./
COPY distreg ./distreg
RUN python -m pip install --no-deps .

COPY docker/healthcheck /usr/local/bin/healthcheck

# The root file system is read-only in docker-compose.yml; what must be written goes to /tmp (in
# memory) or to the volumes below.
ENV HOME=/tmp/home \
    MPLCONFIGDIR=/tmp/matplotlib \
    NUMBA_CACHE_DIR=/tmp/numba \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    DO_NOT_TRACK=true \
    MLFLOW_DISABLE_TELEMETRY=true
RUN useradd --system --uid 10001 --user-group --home-dir /tmp/home --no-create-home distreg \
 && mkdir -p /srv/distreg/data /srv/distreg/runs /srv/distreg/mlflow \
 && chown -R 10001:10001 /srv/distreg
COPY pipelines /srv/distreg/pipelines
WORKDIR /srv/distreg
USER 10001:10001

HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 CMD ["healthcheck"]
CMD ["distreg", "--help"]
