"""A farm of a thousand agents on one machine: the real service, Redis and Celery protocol, renders that only wait."""
