#!/usr/bin/env bash
# From a fresh machine to a judged score, in one command.
#
#   bash run.sh [TESTSET.docx …]           install, get the model, serve it, judge it, report
#   bash run.sh serve                      only serve, until Ctrl-C
#   bash run.sh judge URL TESTSET.docx …   only judge a service that is running (--wait: is starting)
#   bash run.sh judging compare REPORT …   two judgements paired; rate, runs, forecast, experiment, ability
#   bash run.sh data build BOOK … --out D  a book's question-answer pairs (python -m data)
#   bash run.sh retrieval build BOOK … --out index   the book at hand (python -m retrieval)
#   bash run.sh train run RECIPE.yaml      fine-tune, merge, quantize, check (python -m train)
#   bash run.sh chat                       talk to the models in a browser, or by OpenAI's API
#   bash run.sh tune --dev DEV.jsonl       the fastest serving settings of equal score (python -m tune)
#   bash run.sh preflight …                would the judge's machine take this? (python -m preflight)
#   bash run.sh submissions …              what was pushed, what came back (preflight.submissions)
#
# Variables: MODEL_DIR (a model directory), MODEL_ID (a model on ModelScope), PORT (8000), PYTHON,
# TORCH_INDEX_URL, KIT_LANGUAGE=en (English messages; 默认中文), and every setting of the service
# (docs/serving.md).
#
# 一条命令：从一台新机器到一个评测分数。
#
#   bash run.sh [测试集.docx …]             安装，取模型，启动服务，评测，报告
#   bash run.sh serve                      只启动服务，Ctrl-C 停止
#   bash run.sh judge 网址 测试集.docx …     只评测已在运行的服务（--wait：正在启动的）
#   bash run.sh judging compare 报告 …      两次评测逐题相比；还有 rate、runs、forecast、experiment、ability
#   bash run.sh data build 教材 … --out 目录  教材的问答对
#   bash run.sh retrieval build 教材 … --out index   翻书用的索引
#   bash run.sh train run 配方.yaml          微调，合并，量化，检查
#   bash run.sh chat                       在浏览器里或用 OpenAI 接口和模型说话
#   bash run.sh tune --dev 验证集.jsonl      分数不变时最快的服务设置
#   bash run.sh preflight …                提交前检查：评测机会接受吗？
#   bash run.sh submissions …              推送了什么，结果如何
#
# 每个命令后面加 --help 看选项。变量：MODEL_DIR（模型目录）、MODEL_ID（魔搭上的模型）、PORT（8000）、
# PYTHON、TORCH_INDEX_URL、KIT_LANGUAGE=en（英文），以及服务的全部设置（docs/serving.md）。
set -euo pipefail
cd "$(dirname "$0")"
source requirements/install.sh
[ "$OLDPWD" -ef "$PWD" ] || printf '%s\n' "$(either "在 $PWD 里运行：命令里的相对路径从这里算起" \
  "running in $PWD: relative paths of the command begin there")" >&2

PORT=${PORT:-8000}
[[ $PORT =~ ^[0-9]{1,5}$ ]] && [ "$PORT" -ge 1 ] && [ "$PORT" -le 65535 ] ||
  fail "$(either "PORT=$PORT：要写 1 到 65535 的整数" "PORT=$PORT: a whole number from 1 to 65535 is wanted")" 2
SAMPLES=(data/sample/testset_basic.docx data/sample/testset_bonus.docx)

choose_model() {
  if [ -n "${MODEL_DIR:-}" ]; then
    say "模型：MODEL_DIR=$MODEL_DIR" "model: MODEL_DIR=$MODEL_DIR"
  elif [ -n "${MODEL_ID:-}" ]; then
    MODEL_DIR=model/served
    say "模型：从魔搭下载 $MODEL_ID 到 $MODEL_DIR" "model: $MODEL_ID from ModelScope into $MODEL_DIR"
    .venv/bin/python download_model.py "$MODEL_ID" --out "$MODEL_DIR"
  else
    MODEL_DIR=model/demo
    if [ -f model/demo/manifest.json ]; then
      say "模型：model/demo 里的演示模型（只认识示例教材）" "model: the demo model in model/demo (knows only the sample book)"
    else
      say "模型：用示例教材做演示模型，约一分钟" "model: making the demo model from the sample book, about a minute"
      .venv/bin/python -m train.demo --out model/demo --untrained model/demo-untrained
    fi
  fi
  if [ ! -f "$MODEL_DIR/config.json" ]; then
    inside=$(compgen -G "$MODEL_DIR/*/config.json" | head -n 1 || true)
    if [ ! -d "$MODEL_DIR" ]; then
      fail "$(either "MODEL_DIR=$MODEL_DIR：没有这个目录。" "MODEL_DIR=$MODEL_DIR: no such directory.")"
    elif [ -f "$MODEL_DIR/adapter_config.json" ]; then
      fail "$(either "MODEL_DIR=$MODEL_DIR 是 LoRA 适配器：先 bash run.sh train merge 配方.yaml，再用合并后的目录。" \
        "MODEL_DIR=$MODEL_DIR is a LoRA adapter: first bash run.sh train merge RECIPE.yaml, then take the merged folder.")"
    fi
    fail "$(either "MODEL_DIR=$MODEL_DIR 里没有 config.json：不是模型目录。${inside:+是不是 ${inside%/config.json}？}" \
      "MODEL_DIR=$MODEL_DIR has no config.json: not a model directory.${inside:+ Is it ${inside%/config.json}?}")"
  fi
  # What a half-copied model lacks; all else the service tells when it starts.
  compgen -G "$MODEL_DIR/*.safetensors" >/dev/null || fail "$(either "MODEL_DIR=$MODEL_DIR 里没有权重（*.safetensors）：拷全模型，或换一个 safetensors 格式的。" \
    "MODEL_DIR=$MODEL_DIR has no weights (*.safetensors): copy the whole model, or take one in safetensors.")"
  { compgen -G "$MODEL_DIR/tokenizer.*" || compgen -G "$MODEL_DIR/vocab.*"; } >/dev/null || fail "$(either "MODEL_DIR=$MODEL_DIR 里没有分词器（tokenizer.json）：从基座模型拷来它的 tokenizer* 文件。" \
    "MODEL_DIR=$MODEL_DIR has no tokenizer (tokenizer.json): copy the tokenizer* files of its base model.")"
  # Without the book, whatever lies in index/: it was trained so, and passages confuse it.
  if [ "$MODEL_DIR" = model/demo ] && [ -z "${RETRIEVAL_DIR+set}${RETRIEVAL_PASSAGES+set}" ]; then
    export RETRIEVAL_PASSAGES=0
  fi
  export MODEL_DIR
}

# A real model answers the samples with their book at hand, unless you set the book or none.
open_sample_book() {
  [ -z "${RETRIEVAL_DIR+set}${RETRIEVAL_PASSAGES+set}" ] || return 0
  prepare_environment data
  say "翻书：给示例教材建索引（RETRIEVAL_PASSAGES=0 不翻书）" \
    "the book at hand: the sample book's index (RETRIEVAL_PASSAGES=0 asks without it)"
  .venv/bin/python -m retrieval build data/sample/book.md --out .cache/sample-index
  export RETRIEVAL_DIR=.cache/sample-index
}

asks_for_help() { [[ " $* " == *" --help "* ]]; }  # which needs no model, and nothing more installed

serve_command=(.venv/bin/python -m uvicorn serve:app --host 0.0.0.0 --port "$PORT" --timeout-keep-alive 75 --timeout-graceful-shutdown 5)

# Did training help? The same model untrained is judged once beside the demo model; later runs show
# that again. The service has stopped: two models would not fit one GPU.
show_what_training_did() {
  local out=model/demo-comparison report
  if [ ! -f $out/comparison.txt ] || [ model/demo/model.safetensors -nt $out/comparison.txt ]; then
    say "训练有用吗？把没训练的同一个模型也评一次（约 10 秒，只这一次）" "did training help? judging the same model untrained, this once (about 10 s)"
    report=$(ls -dt report/*/summary.json | head -n 1)
    [ -f model/demo-untrained/manifest.json ] || .venv/bin/python -m train.demo --steps 0 --out model/demo-untrained
    # Noise is noise: Transformers starts sooner than vLLM, and since an untrained model never ends
    # an answer by itself, 96 tokens say as much as 640.
    ENGINE=transformers .venv/bin/python -m train compare model/demo-untrained model/demo --judged "${report%/*}" \
      --max-tokens 96 --out $out "${SAMPLES[@]/#/--testset=}" >/dev/null
  else
    say "训练有用吗？（以前评过；删掉 $out 就再评一次）" "did training help? (judged in an earlier run; remove $out to judge again)"
  fi
  cat $out/comparison.txt
  say "和它说话：bash run.sh chat" "talk to it: bash run.sh chat"
}

case ${1:-} in
  -h | --help | help)
    sed -n "$(either 20,35 2,18)s/^# \\{0,1\\}//p" "$0" ;;
  serve)
    ! asks_for_help "$@" || exec bash "$0" --help
    prepare_environment
    .venv/bin/python -m common.service_command check-port "$PORT"  # before minutes of making a model
    choose_model
    say "服务：端口 $PORT，按 Ctrl-C 停止" "service: port $PORT, Ctrl-C stops it"
    exec "${serve_command[@]}" ;;
  judge)
    [ $# -ge 3 ] || fail "$(either "用法：bash run.sh judge 网址 测试集.docx …" "usage: bash run.sh judge URL TESTSET.docx …")" 2
    prepare_environment
    exec .venv/bin/python eval_local.py --url "${@:2}" ;;
  judging)
    prepare_environment judging
    [ "${2:-}" != ability ] || asks_for_help "$@" || bash train/setup.sh ability
    exec .venv/bin/python -m judging "${@:2}" ;;
  data)
    prepare_environment data
    [[ " $* " != *" --encoder"* ]] || prepare_environment retrieval
    exec .venv/bin/python -m data "${@:2}" ;;
  retrieval)
    prepare_environment data
    [[ " $* " != *" --encoder"* && " $* " != *" --reranker"* ]] || prepare_environment retrieval
    exec .venv/bin/python -m retrieval "${@:2}" ;;
  train)
    prepare_environment  # train's checks serve the model with .venv
    case " $* " in
      *" --help "*) bash train/setup.sh ;;
      *" retriever "* | *" reranker "*) bash train/setup.sh retrieval ;;
      *" --guard"* | *" guard="*) bash train/setup.sh ability ;;
      *) bash train/setup.sh ;;
    esac
    exec .venv-train/bin/python -m train "${@:2}" ;;
  chat)
    prepare_environment; prepare_chat; asks_for_help "$@" || choose_model
    exec .venv-chat/bin/python -m chat ${MODEL_DIR:+--model "$MODEL_DIR"} "${@:2}" ;;
  tune)
    prepare_environment tune; asks_for_help "$@" || choose_model
    exec .venv/bin/python -m tune "${@:2}" ;;
  preflight)
    prepare_environment
    exec .venv/bin/python -m preflight "${@:2}" ;;
  submissions)
    prepare_environment
    exec .venv/bin/python -m preflight.submissions "${@:2}" ;;
  compare-demo)  # not for hands: what follows `bash run.sh` on the samples, with the service stopped
    show_what_training_did ;;
  *)
    for testset in "$@"; do
      [ -f "$testset" ] || fail "$(either "没有这个测试集（也没有这个命令）：$testset。见 bash run.sh --help" \
        "No such test set (and no such command): $testset. See bash run.sh --help")" 2
    done
    [ $# -gt 0 ] || { all_samples=yes; set -- "${SAMPLES[@]}"; }
    prepare_environment
    [ -n "${all_samples:-}" ] || .venv/bin/python eval_local.py --only-read "$@"  # before a service starts
    .venv/bin/python -m common.service_command check-port "$PORT"
    choose_model
    [ -z "${all_samples:-}" ] || open_sample_book
    after=
    if [ -n "${all_samples:-}" ] && [ "$MODEL_DIR" = model/demo ]; then after="bash run.sh compare-demo"; fi
    # exec: Ctrl-C and TERM then go to the command that stops the service, not to this shell.
    exec .venv/bin/python -m common.service_command run --service "${serve_command[*]}" --port "$PORT" \
      --log report/server.log --title "$(either "评测：" "judge: ")$*" --after "$after" -- \
      .venv/bin/python eval_local.py --url "http://127.0.0.1:$PORT" --tokenizer "$MODEL_DIR" "$@" ;;
esac
