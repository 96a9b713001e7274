"""What the routes share: one object on the application, `app.state.service`."""

from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from common.manifest import Manifest
from serving.answerer import Answerer
from serving.http.admission import Admission
from serving.http.metrics import Metrics
from serving.settings import Settings


@dataclass
class ServiceState:
    """answerer, manifest and startup (facts of the start) are set before the port opens."""

    settings: Settings
    admission: Admission
    metrics: Metrics
    answerer: Answerer = field(init=False)
    manifest: Manifest | None = None
    startup: dict[str, Any] = field(default_factory=dict)


def state_of(request: Request) -> ServiceState:
    """The state of the application that a request is for."""
    return request.app.state.service
