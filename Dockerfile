# The image that the judge builds (with network, 900 s) and runs (without, port 8000).
# Order: what changes least comes first, so that a code change does not fetch the weights again.
ARG BASE_IMAGE=cr.metax-tech.com/public-ai-release/maca/vllm:maca.ai3.1.0.7-torch2.6-py310-ubuntu22.04-amd64
FROM ${BASE_IMAGE}
WORKDIR /app

COPY requirements.txt ./
RUN python3 -m pip install --no-cache-dir --retries 5 -r requirements.txt

# Your model: a public repository, since the judge passes no token. MODEL_REVISION may be a tag.
# (For a private one in a build of your own, with BuildKit, begin the RUN line with
#  --mount=type=secret,id=modelscope_token and build with --secret. It is not here, because a judge
#  without BuildKit would refuse the whole file. A token never belongs in ARG or ENV.)
ARG MODEL_HUB=modelscope
ARG MODEL_ID=Qwen/Qwen3-4B
ARG MODEL_REVISION=master
# For a mirror; unset, the SDKs use their own address.
ARG MODELSCOPE_ENDPOINT
ARG HF_ENDPOINT
COPY download_model.py ./
COPY common/__init__.py common/hubs.py common/
COPY common/model_files.py common/model_content.py common/safetensors_header.py common/
RUN python3 -B download_model.py "${MODEL_ID}" --hub "${MODEL_HUB}" --revision "${MODEL_REVISION}" \
    --out model/served

# serve.env, where `run.sh tune` has written one: settings, over which ENV below wins. And what an
# earlier start on the same device has compiled, where you have kept it (docs/serving.md: COMPILE_CACHE_DIR).
COPY serve.py serve.env* compile_cache.tar* ./
COPY common/ common/
COPY retrieval/ retrieval/
# The book's index, where `python -m retrieval build … --out index` has made one: it is small.
COPY index/ index/
COPY serving/ serving/

# No network in the run: nothing may look for a newer file or report usage. VLLM_PLUGINS stays as
# the base has it, because MetaX's plugin is found through it. Caches go to /tmp, not to HOME.
ENV MODEL_DIR=/app/model/served \
    HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 VLLM_USE_MODELSCOPE=False \
    VLLM_USE_V1=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 VLLM_HOST_IP=127.0.0.1 \
    HF_HOME=/tmp/hf XDG_CACHE_HOME=/tmp/cache XDG_CONFIG_HOME=/tmp/config \
    TORCHINDUCTOR_CACHE_DIR=/tmp/inductor TRITON_CACHE_DIR=/tmp/triton \
    PYTHONUNBUFFERED=1

EXPOSE 8000
CMD ["uvicorn", "serve:app", "--host", "0.0.0.0", "--port", "8000", "--timeout-keep-alive", "75"]
