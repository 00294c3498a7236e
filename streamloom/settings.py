"""Django's settings, from the environment (``streamloom.environment``) and nothing else."""

import secrets
from pathlib import Path
from typing import Any

from streamloom.environment import Environment, read_environment

BASE_DIR = Path(__file__).resolve().parent.parent
environment: Environment = read_environment(BASE_DIR)

# --- what every part of Streamloom reads ------------------------------------------------------------
STREAMLOOM_MODE = environment.mode
STREAMLOOM_DATA_DIR = environment.data_dir
STREAMLOOM_SOURCE = environment.source
STREAMLOOM_PARTITIONS = environment.partitions
BINANCE_REST_URL = environment.rest_url
BINANCE_WS_URL = environment.ws_url
BINANCE_ARCHIVE_URL = environment.archive_url
REPAIR_CONFIRM_S = environment.repair_confirm_s
KLINES_HISTORY = environment.klines_history
SINK_MAX_DELAY_S = environment.sink_max_delay_s
SINK_MAX_ROWS = environment.sink_max_rows
# The number of this process among its like: static member and transactional id of Kafka.
STREAMLOOM_SLOT = environment.slot
KAFKA_BROKERS = environment.kafka_brokers
KAFKA_PREFIX = environment.kafka_prefix
KAFKA_SECURITY = environment.kafka_security
CLICKHOUSE_URL = environment.clickhouse_url
REDIS_URL = environment.redis_url
LOG_FORMAT = environment.log_format
LOG_LEVEL = environment.log_level
STREAMLOOM_WORKER_METRICS = environment.worker_metrics

_EMBEDDED = STREAMLOOM_MODE == "embedded"


def _secret_key() -> str:
    """The given key; embedded, one of its own that is made once and kept beside the data."""
    if environment.secret_key:
        return environment.secret_key
    path = STREAMLOOM_DATA_DIR / "secret_key"
    if path.exists():
        return path.read_text()
    key = secrets.token_urlsafe(50)
    # A command that keeps no data leaves no folder behind either: its key lasts as long as it runs.
    if STREAMLOOM_DATA_DIR.exists():
        path.touch(mode=0o600)
        path.write_text(key)
    return key


SECRET_KEY = _secret_key()
DEBUG = environment.debug
ALLOWED_HOSTS = environment.allowed_hosts

# --- Django -------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "daphne",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "servestatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "markets",
    "ingestion",
    "analytics",
    "streamloom",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "streamloom.urls"
ASGI_APPLICATION = "streamloom.asgi.application"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
# Django's default would answer in Chicago time.
TIME_ZONE = "UTC"

_SQLITE: dict[str, Any] = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": STREAMLOOM_DATA_DIR / "streamloom.db",
    "OPTIONS": {
        "timeout": 20,
        # Taking the write lock at once avoids "database is locked" when two threads upgrade their reads.
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    },
    "TEST": {"NAME": None},
}


def _postgres(database: dict[str, Any]) -> dict[str, Any]:
    """A server that went away is noticed within seconds. The URL's own options win."""
    waits = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
    return {**database, "OPTIONS": {**waits, "tcp_user_timeout": 20_000, **database.get("OPTIONS", {})}}


DATABASES = {"default": _SQLITE if environment.database is None else _postgres(environment.database)}

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = BASE_DIR / "var" / "static"
# Straight from the folders: no collected copy can be out of date, and nothing must be collected first.
SERVESTATIC_USE_FINDERS = True
SERVESTATIC_AUTOREFRESH = False

# A Redis that is frozen or away must not hold up whoever asks.
_REDIS_WAITS: dict[str, Any] = {"socket_timeout": 5, "socket_connect_timeout": 5, "socket_keepalive": True}
CACHES: dict[str, Any] = {
    "default": (
        {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
        if _EMBEDDED
        else {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": "streamloom",
            "OPTIONS": _REDIS_WAITS,
        }
    )
}

# --- REST ---------------------------------------------------------------------------------------------
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"],
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Streamloom",
    "DESCRIPTION": "Market data that can prove itself.",
    "VERSION": "0.1.0",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SERVE_INCLUDE_SCHEMA": False,
}

# --- Celery: only the wake-up; the truth is in SinkPosition and Dirty -----------------------------------
CELERY_BROKER_URL = "memory://localhost" if _EMBEDDED else REDIS_URL
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = (
    # The in-memory broker is polled: a fifth of a second is lost in the sink's own second.
    {"polling_interval": 0.2}
    if _EMBEDDED
    else {
        **_REDIS_WAITS,
        # Longer than any task may take (CELERY_TASK_TIME_LIMIT), or it would run twice at once.
        "visibility_timeout": 900,
        # By default what a killed worker held is looked for every 100 s.
        "unacked_restore_throttle": 1,
        "unacked_restore_interval": 2,
    }
)
if not _EMBEDDED:
    # A task that hangs is ended with its process; its wake-up is given again by the dispatcher.
    CELERY_TASK_TIME_LIMIT = 180
    # Memory that libraries never give back goes with the process.
    CELERY_WORKER_MAX_TASKS_PER_CHILD = 1000
    CELERY_WORKER_MAX_MEMORY_PER_CHILD = 400_000
    # However long Redis is away, the worker waits for it.
    CELERY_BROKER_CONNECTION_MAX_RETRIES = None
    # What the processes are at counts, and not what was acknowledged: an acknowledgement that a frozen Redis did not
    # take would be a place lost, and with the last place the worker would fetch nothing any more.
    CELERY_WORKER_DISABLE_PREFETCH = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1 if _EMBEDDED else 0
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"
# Beat keeps nothing on disk: it only wakes, and what is due is in the database. Seconds between wake-ups.
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"
CELERY_BEAT_SCHEDULE: dict[str, Any] = {
    "audit": {"task": "analytics.audit", "schedule": 600.0, "options": {"expires": 600}},
}

UNFOLD = {"SITE_TITLE": "Streamloom", "SITE_HEADER": "Streamloom", "SITE_URL": "/", "SHOW_HISTORY": True}
