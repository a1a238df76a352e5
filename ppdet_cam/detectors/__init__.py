"""The only door to ppdet and to paddle's layers."""
