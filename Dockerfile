FROM python:3.12.12-slim-bookworm AS build
# Where pip looks besides its default, for instance PyTorch's index of CPU builds: without it, x86 gets CUDA's, 3 GB more.
ARG PIP_EXTRA_INDEX_URL=
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PATH=/opt/cs3g/bin:$PATH
WORKDIR /src
RUN python -m venv /opt/cs3g
COPY pyproject.toml constraints.txt ./
# The dependencies by themselves, so that a change of the code does not install them again.
RUN python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' > requirements.txt \
    && pip install -c constraints.txt -r requirements.txt setuptools
COPY . .
RUN pip install --no-deps --no-build-isolation .

FROM python:3.12.12-slim-bookworm
# Compiled kernels are cached in NUMBA_CACHE_DIR: the packages themselves are read-only to this user.
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/cs3g cs3g
COPY --from=build /opt/cs3g /opt/cs3g
ENV PATH=/opt/cs3g/bin:$PATH PYTHONUNBUFFERED=1 NUMBA_CACHE_DIR=/var/lib/cs3g/numba \
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
USER cs3g
WORKDIR /var/lib/cs3g
# A volume mounted there takes its owner from this folder.
RUN mkdir registry
# Whether the models load and the broker at CS3G_BOOTSTRAP_SERVERS answers. Whether a worker makes progress only the
# broker can say: deploy/prometheus/alerts.yml asks it.
HEALTHCHECK --interval=60s --timeout=30s --start-period=60s CMD ["cs3g", "doctor"]
ENTRYPOINT ["cs3g"]
CMD ["--help"]
