"""Alembic's entry: runs migrations on the connection that the ledger hands over, inside its transaction."""

from alembic import context

from blendnet.manager.ledger.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
