"""Google Cloud: agents on Compute Engine's Spot machines. Nobody but this package and storage/gcs imports google."""
