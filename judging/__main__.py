"""`python -m judging …`: what the local judge's reports say, beside each other and over time."""

from common.cli import make_app
from common.language import either
from judging import ability, compare, experiment, forecast, rate, runs

app = make_app(
    help=either(
        "本地评测的报告：比较、列表、写成报告，以及能指望什么。",
        "Reports of the local judge: compared, listed, written up, and what they let expect.",
    ),
    no_args_is_help=True,
)
for module in (compare, runs, forecast, experiment, rate, ability):
    app.command(module.__name__.rpartition(".")[2])(module.main)

if __name__ == "__main__":
    app()
