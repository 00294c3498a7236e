"""Every error of the API, as problem+json (RFC 9457) with a stable ``code``."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError
from django.core.exceptions import PermissionDenied
from django.db import Error as DatabaseError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response

from ingestion.log.port import LogError

logger = structlog.get_logger(__name__)

CONTENT_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 2


class Problem(Exception):
    """Something that the caller must hear of. ``param`` and ``allowed`` name a bad parameter and what it may be."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int = 400,
        param: str | None = None,
        allowed: str | Sequence[Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.status = status
        self.detail = detail
        self.param = param
        self.allowed = allowed
        self.headers: dict[str, str] = {}

    def body(self) -> dict[str, Any]:
        """The members of RFC 9457 and ours."""
        body = {
            "type": f"urn:streamloom:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.param is not None:
            body["param"] = self.param
        if self.allowed is not None:
            body["allowed"] = self.allowed
        return body


def bad_parameter(param: str, detail: str, allowed: str | Sequence[Any] | None = None) -> Problem:
    return Problem("bad_parameter", detail, param=param, allowed=allowed)


def unknown_symbol(symbol: str) -> Problem:
    return Problem(
        "unknown_symbol", f"No symbol is named {symbol[:40]}; /symbols lists them.", status=404, param="symbol"
    )


def backend_unavailable() -> Problem:
    problem = Problem(
        "backend_unavailable", "A store does not answer; try again in a moment.", status=503
    )
    problem.headers["Retry-After"] = str(RETRY_AFTER_S)
    return problem


_INTERNAL = ("internal", "Something failed on our side; it has been logged.")
_CODES: Final = {
    400: "bad_request",
    401: "not_authenticated",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    415: "unsupported_media_type",
    429: "throttled",
}


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's exception handler: the problem that an error is to its caller. Nothing of the inside is told."""
    problem = _problem_of(error)
    if problem.status >= 500:
        request = context.get("request")
        logger.error(
            "request_failed",
            path=getattr(request, "path", ""),
            code=problem.code,
            error=repr(error),
            exc_info=problem.code == "internal",
            what_to_do="is every store up? see /health" if problem.status == 503 else "report this",
        )
    response = Response(problem.body(), status=problem.status, headers=problem.headers)
    # Read by the renderer: the content type of an error follows what the caller accepts.
    response.is_problem = True
    return response


def _problem_of(error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case ClickHouseError() | DatabaseError() | LogError() | ConnectionError():
            return backend_unavailable()
        case Http404():
            return Problem("not_found", "There is nothing at this path.", status=404)
        case PermissionDenied():
            return Problem("permission_denied", "You may not do this.", status=403)
        case exceptions.APIException():
            return _problem_of_drf(error)
    return Problem(*_INTERNAL, status=500)


def _problem_of_drf(error: exceptions.APIException) -> Problem:
    if error.status_code >= 500:
        return Problem(*_INTERNAL, status=500)
    code = _CODES.get(error.status_code, "bad_request")
    detail = error.detail if isinstance(error.detail, str) else "The request is not understood."
    problem = Problem(code, str(detail), status=error.status_code)
    wait = getattr(error, "wait", None)
    if wait is not None:
        problem.headers["Retry-After"] = str(int(wait) + 1)
    if getattr(error, "auth_header", None):
        problem.headers["WWW-Authenticate"] = error.auth_header
    return problem


# --- outside the views: Django's own handlers --------------------------------------------------------


def _answer(problem: Problem) -> HttpResponse:
    return JsonResponse(
        problem.body(), status=problem.status, content_type=CONTENT_TYPE, headers=problem.headers
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """``handler400``."""
    return _answer(Problem("bad_request", "The request is not understood."))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """``handler403``."""
    return _answer(Problem("permission_denied", "You may not do this.", status=403))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """``handler404``."""
    detail = "There is nothing at this path; /docs lists what there is."
    return _answer(Problem("not_found", detail, status=404))


def server_error(request: HttpRequest) -> HttpResponse:
    """``handler500``."""
    return _answer(Problem(*_INTERNAL, status=500))
