# Stand-in for the judge's base image; sourced by tests/image.sh. What it is: Debian, its Python 3.11,
# and a virtual environment with vLLM for the processor, copied from the checkout's (VLLM_VENV). What
# it is not: Ubuntu 22.04, Python 3.10, MetaX's vLLM 0.10.0 and its drivers.

# What requirements.txt must bring itself, so it is left out of the copy.
not_in_base=(modelscope modelscope_hub pydantic_settings)

# What the service does not read: the kit's own tools, optional parts of vLLM and Transformers, and
# what only compilers and tests read. Found by starting the service and looking at its modules; a
# package that this vLLM does import stays (0.10.0 needs numba). vfs copies the base for every
# layer, so its size counts ten times.
not_read=(anthropic fontTools hypothesis jieba llvmlite magika matplotlib mistral_common nltk numba
  onnxruntime pdfminer pycountry pypdfium2_raw rapidfuzz torch/include torch/test
  torch/bin/protoc torch/bin/protoc-3.13.0.0)

# imports MOUNT NAME…: imports in the base what the service imports, which writes the .pyc; prints
# which of the names it can do without, and the kernels that vLLM does not choose on this machine.
imports() {
  chroot "$1" env "${preload[@]}" /opt/vllm-env/bin/python - "${@:2}" <<'PY'
import pathlib, sys
import fastapi, uvicorn, vllm, vllm.entrypoints.llm, vllm.v1.worker.cpu_worker  # noqa
from vllm.platforms import current_platform
if hasattr(current_platform, "import_kernels"):
    current_platform.import_kernels()
package = pathlib.Path(vllm.__file__).parent
for name in sys.argv[1:]:
    # What this loop prints goes; "a/b" names files of a package that stays.
    if "/" in name or name not in sys.modules:
        print("DROP", package.parent / name)
maps = pathlib.Path("/proc/self/maps").read_text()
kernels = sorted(package.glob("_C*.so"))
used = [path for path in kernels if str(path) in maps]
for path in kernels:
    if used and path not in used:
        print("DROP", path)
PY
}

# trim MOUNT SITE: leaves out what the service does not read, and checks that it still imports.
trim() {
  local mount=$1 site=$2 name
  for name in "${not_in_base[@]}"; do rm -rf "${site:?}/$name" "$site/$name"-*.dist-info; done
  imports "$mount" "${not_read[@]}" >"$work/imports.log" 2>&1 || { tail -n 5 "$work/imports.log" >&2; return 1; }
  sed -n 's/^DROP //p' "$work/imports.log" | while read -r name; do rm -rf "${mount:?}$name"; done
  find "$site" -depth -type d \( -name __pycache__ -o -name tests \) -exec rm -rf {} +
  find "$site" -name '*.a' -delete
  imports "$mount" >"$work/imports.log" 2>&1 || { tail -n 5 "$work/imports.log" >&2; return 1; }
}

# make_base IMAGE VENV ROOTFS: debootstrap once, then one layer with the environment.
make_base() {
  local image=$1 venv=$2 rootfs=$3 suite site container mount
  suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
  site=$("$venv/bin/python" -c 'import site; print(site.getsitepackages()[0])')
  if [ ! -f "$rootfs/etc/debian_version" ]; then
    step "base: debootstrap $suite"
    rm -rf "$rootfs"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates,libgomp1,libnuma1 \
      "$suite" "$rootfs" >"$work/debootstrap.log" 2>&1 || { tail -n 5 "$work/debootstrap.log" >&2; return 1; }
    rm -rf "$rootfs"/var/{cache,lib}/apt "$rootfs"/usr/share/{doc,locale,man}
  fi
  step "base: copying vLLM's environment from $venv"
  container=$(buildah_ from scratch)
  mount=$(buildah_ mount "$container")
  cp -a "$rootfs/." "$mount/"
  # A machine behind a proxy of its own needs its certificates and pip's settings in the build too.
  cp -L /etc/ssl/certs/ca-certificates.crt "$mount/etc/ssl/certs/" 2>/dev/null || true
  cp -L /etc/pip.conf "$mount/etc/" 2>/dev/null || true
  chroot "$mount" python3 -m venv --without-pip /opt/vllm-env
  local target="$mount/opt/vllm-env/lib/python3.11/site-packages" name
  cp -a "$site/." "$target/"
  # Console scripts begin with the path of the environment that they were made in.
  for name in uvicorn pip; do
    sed '1s|^#!.*|#!/opt/vllm-env/bin/python3|' "$venv/bin/$name" >"$mount/opt/vllm-env/bin/$name"
    chmod 755 "$mount/opt/vllm-env/bin/$name"
  done
  # vLLM 0.10.0's CPU build needs a symbol that Debian 12 has not; its environment brings it along.
  local preload=()
  if [ -f "$venv/libios_init.so" ]; then
    cp "$venv/libios_init.so" "$mount/opt/vllm-env/"
    preload=(LD_PRELOAD=/opt/vllm-env/libios_init.so)
  fi
  mkdir -p "$mount/proc" && mount -t proc proc "$mount/proc"
  trim "$mount" "$target" || { umount "$mount/proc"; return 1; }
  umount "$mount/proc"
  passed "$(du -sm "$mount" | cut -f1) MB in the base"
  buildah_ umount "$container" >/dev/null
  buildah_ config --env PATH=/opt/vllm-env/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    --env VIRTUAL_ENV=/opt/vllm-env ${preload:+--env "${preload[0]}"} "$container"
  buildah_ commit -q --rm "$container" "$image" >/dev/null
}
