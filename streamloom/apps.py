from django.apps import AppConfig


class StreamloomConfig(AppConfig):
    name = "streamloom"
    default_auto_field = "django.db.models.BigAutoField"
