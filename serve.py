"""The service of the judge's contract: `GET /` and `POST /predict` on port 8000.

    MODEL_DIR=model/demo uvicorn serve:app --port 8000

Settings are environment variables: see docs/serving.md, or serving/settings.py.
"""

import logging
import sys
from pathlib import Path

from serving.http.app import create_app
from serving.logging_setup import set_up_logging
from serving.settings import SettingsError, load_settings
from serving.startup import restart_process

set_up_logging()

try:
    settings = load_settings()
except SettingsError as error:
    sys.exit(f"serve.py: {error}")

if settings.settings_file and Path(settings.settings_file).is_file():
    logging.getLogger("serve").info("settings file: %s", settings.settings_file)
app = create_app(settings, restart_process)
