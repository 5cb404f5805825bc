"""The ledger: the Manager's database. Only this package knows SQL."""
