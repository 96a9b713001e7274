# Stand-in for the judge's base image; sourced by tests/image.sh. What it is: Debian, its Python 3.11,
# and a virtual environment with vLLM for the processor, copied from the checkout's (VLLM_VENV). What
# it is not: Ubuntu 22.04, Python 3.10, MetaX's vLLM 0.10.0 and its drivers.

# What requirements.txt must bring itself, so it is left out of the copy.
not_in_base=(modelscope modelscope_hub pydantic_settings)

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
    rm -rf "$rootfs"/var/cache/apt/archives/*.deb
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
  for name in "${not_in_base[@]}"; do rm -rf "$target/$name" "$target/$name"-*.dist-info; done
  # Console scripts begin with the path of the environment that they were made in.
  for name in uvicorn pip; do
    sed '1s|^#!.*|#!/opt/vllm-env/bin/python3|' "$venv/bin/$name" >"$mount/opt/vllm-env/bin/$name"
    chmod 755 "$mount/opt/vllm-env/bin/$name"
  done
  # vLLM 0.10.0's CPU build needs a symbol that Debian 12 has not; its environment brings it along.
  local preload=()
  if [ -f "$venv/libios_init.so" ]; then
    cp "$venv/libios_init.so" "$mount/opt/vllm-env/"
    preload=(--env LD_PRELOAD=/opt/vllm-env/libios_init.so)
  fi
  buildah_ umount "$container" >/dev/null
  buildah_ config --env PATH=/opt/vllm-env/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    --env VIRTUAL_ENV=/opt/vllm-env "${preload[@]}" "$container"
  buildah_ commit -q --rm "$container" "$image" >/dev/null
}
