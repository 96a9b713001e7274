# Makes .venv for run.sh and test.sh; sourced by both, from the repository's root.
#
#   prepare_environment             what serving and judging need
#   prepare_environment data dev    and what data/ and the tests need; `tune` likewise
#
# Three cases, told apart in this order:
# - python can import vLLM already (the judge's image, a GPU machine): use it, add what is missing;
# - an NVIDIA GPU without vLLM: install requirements/gpu.txt;
# - no GPU: install requirements/cpu.txt, a full lock with vLLM for the processor.
# A stamp keeps a second run from installing again until a requirements file changes.

# The text in the reader's language, as common/language.py chooses it: either ZH EN
either() { if [ "${KIT_LANGUAGE:-zh}" = en ]; then printf '%s' "$2"; else printf '%s' "$1"; fi; }
say() { printf '\033[1m==> %s\033[0m\n' "$(either "$1" "${2:-$1}")"; }
# fail MESSAGE [EXIT_CODE]
fail() { printf '\033[31m%s\033[0m\n' "$1" >&2; exit "${2:-1}"; }

# The first python that runs the test given as its code; PYTHON wins over all.
find_python() {
  local code=$1 candidate
  shift
  for candidate in ${PYTHON:-"$@"}; do
    if "$candidate" -c "import sys, venv; $code" 2>/dev/null; then echo "$candidate"; return; fi
  done
  return 1
}

prepare_environment() {
  local kind python extra began=$SECONDS
  if python=$(find_python 'import importlib.util as u, os; sys.exit(u.find_spec("vllm") is None or sys.prefix == os.path.abspath(".venv"))' python3 python); then
    kind=system
  elif command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; then
    kind=gpu
    python=$(find_python 'sys.exit(sys.version_info < (3, 10))' python3.12 python3.11 python3) ||
      fail "$(either "没有找到带 venv 模块的 Python 3.10 或更新版本：装一个，或设 PYTHON=…" \
        "No Python 3.10 or newer with its venv module found: install one, or set PYTHON=…")"
  else
    kind=cpu
    python=$(find_python 'sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' python3.11 python3.12 python3) ||
      fail "$(either "没有找到带 venv 模块的 Python 3.11 或 3.12：装一个，或设 PYTHON=…" \
        "No Python 3.11 or 3.12 with its venv module found: install one, or set PYTHON=…")"
    # vLLM's CPU library is linked against it; without it the import fails with a missing symbol.
    "$python" -c 'import ctypes; ctypes.CDLL("libnuma.so.1")' 2>/dev/null ||
      fail "$(either "缺少 libnuma.so.1，CPU 上的 vLLM 需要它：apt-get install libnuma1" \
        "libnuma.so.1 is missing, which vLLM needs on a CPU: apt-get install libnuma1")"
  fi
  install_once "$kind" "$python"
  for extra in "$@"; do install_once "$extra" "$python"; done
  say "环境：.venv 已就绪（$((SECONDS - began)) 秒）" "environment: .venv is ready ($((SECONDS - began)) s)"
}

# Installs one set of requirements, unless the stamp of the same files is there.
install_once() {
  local kind=$1 python=$2 files stamp
  case $kind in
    system) files=(requirements.txt requirements/tools.txt) ;;
    gpu) files=(requirements/gpu.txt requirements.txt requirements/tools.txt) ;;
    cpu) files=(requirements/cpu.txt) ;;
    data | dev | tune | retrieval | judging) files=("requirements/$kind.txt") ;;
  esac
  stamp="$kind $("$python" -V) $(cat "${files[@]}" | sha256sum | cut -c1-16)"
  if [ -x .venv/bin/python ] && grep -qxF "$stamp" .venv/stamps 2>/dev/null; then return; fi
  say "环境：正在把 $kind 的依赖装进 .venv（$("$python" -V)）；第一次要几分钟" \
    "environment: installing $kind requirements into .venv ($("$python" -V)); the first time takes minutes"
  case $kind in
    system) make_venv "$python" && see_packages_of "$python" && pip_install -r requirements.txt -r requirements/tools.txt ;;
    gpu) make_venv "$python" && pip_install -r requirements/gpu.txt -r requirements.txt -r requirements/tools.txt ;;
    cpu) make_venv "$python" && pip_install --no-deps -r requirements/cpu.txt ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} ;;
    data | tune) pip_install -r "requirements/$kind.txt" ;;
    dev | retrieval | judging) pip_install --no-deps -r "requirements/$kind.txt" ;;
  esac || fail "$(either "安装失败，pip 的信息见上。如果 pip 找不到 torch==…+cpu，把 TORCH_INDEX_URL 设为 PyTorch 的 CPU 轮子索引，再运行一次。" \
    "The installation failed; pip's message is above. If pip found no 'torch==…+cpu', set TORCH_INDEX_URL to PyTorch's index of CPU wheels and run again.")"
  echo "$stamp" >>.venv/stamps
}

# The chat room's own environment, .venv-chat: Gradio's pins and vLLM's do not meet.
prepare_chat() {
  local python stamp
  python=$(find_python 'sys.exit(sys.version_info < (3, 10))' python3.12 python3.11 python3) ||
    fail "$(either "没有找到带 venv 模块的 Python 3.10 或更新版本：装一个，或设 PYTHON=…" \
      "No Python 3.10 or newer with its venv module found: install one, or set PYTHON=…")"
  stamp="$("$python" -V) $(sha256sum <requirements/chat.txt | cut -c1-16)"
  if [ -x .venv-chat/bin/python ] && [ "$(cat .venv-chat/stamp 2>/dev/null)" = "$stamp" ]; then return; fi
  say "环境：正在把对话网页的依赖装进 .venv-chat（$("$python" -V)），约一分钟" \
    "environment: installing chat requirements into .venv-chat ($("$python" -V)), about a minute"
  "$python" -m venv .venv-chat && VENV=.venv-chat pip_install -r requirements/chat.txt ||
    fail "$(either "安装失败，pip 的信息见上。" "The installation failed; pip's message is above.")"
  echo "$stamp" >.venv-chat/stamp
}

make_venv() { [ -x .venv/bin/python ] || "$1" -m venv .venv; }

# .venv then imports what that python imports, be it a system's, a conda's or a venv's.
see_packages_of() {
  "$1" -c 'import site; print("\n".join(site.getsitepackages()))' \
    >"$(.venv/bin/python -c 'import site; print(site.getsitepackages()[0])')/packages_of_the_vllm_python.pth"
}

pip_install() {
  local quiet=-q
  [ -t 1 ] && quiet=
  "${VENV:-.venv}/bin/python" -m pip install --disable-pip-version-check $quiet "$@"
}
