"""The console's page: static files, no build step, nothing loaded from elsewhere."""

from argosy.console.files import static_folder

__all__ = ["static_folder"]
