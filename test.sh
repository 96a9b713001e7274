#!/usr/bin/env bash
# The tests, on a fresh machine too: environments, lint, then pytest with the arguments given.
#
#   bash test.sh                  everything that runs in minutes
#   bash test.sh -m slow          the slow ones
#   bash test.sh tests/test_service.py -k batch
#
# Tests of fine-tuning need TRL or datasets, which live in .venv-train beside vLLM's .venv: they run
# there, in a second pytest, when no test is named or one of theirs is. TRAIN=no leaves both out.
set -euo pipefail
cd "$(dirname "$0")"
source requirements/install.sh
prepare_environment data dev tune retrieval judging
prepare_chat
say "代码检查" "lint"
.venv/bin/ruff check .
.venv/bin/ruff format --check .

mapfile -t train_tests < <(grep -lE 'importorskip\("(trl|peft|llmcompressor|datasets)"\)' tests/test_*.py)
named=() options=() theirs=()
for argument in "$@"; do
  case $argument in
    tests | tests/ | tests/*) named+=("$argument") ;;
    *) options+=("$argument") ;;
  esac
done
for argument in "${named[@]}"; do
  for path in "${train_tests[@]}"; do
    if [ "${argument%%::*}" = "$path" ]; then theirs+=("$argument"); fi
  done
done
[ ${#named[@]} -gt 0 ] || theirs=("${train_tests[@]}")

# Both runs come to their end; 5, "no test selected", is a failure only when it is true of both.
codes=()
if [ ${#named[@]} -eq 0 ] || [ ${#named[@]} -gt ${#theirs[@]} ]; then
  say "测试" "tests"
  if [ $# -eq 0 ]; then  # on two cores, but for what starts vLLM, which takes both, or is timed
    .venv/bin/python -m pytest -n 2 --dist loadfile -m "not (slow or vllm or clock)" &&
      codes+=(0) || codes+=($?)
    set -- -m "(vllm or clock) and not slow"
  fi
  .venv/bin/python -m pytest "$@" && codes+=(0) || codes+=($?)
fi
if [ "${TRAIN:-yes}" = yes ] && [ ${#theirs[@]} -gt 0 ]; then
  bash train/setup.sh retrieval
  say "训练的测试，在 .venv-train 里" "tests of training, in .venv-train"
  .venv-train/bin/python -m pytest "${options[@]}" "${theirs[@]}" && codes+=(0) || codes+=($?)
fi
selected=no
for code in "${codes[@]}"; do
  [ "$code" -eq 0 ] || [ "$code" -eq 5 ] || exit "$code"
  [ "$code" -eq 5 ] || selected=yes
done
[ $selected = yes ] || exit 5
