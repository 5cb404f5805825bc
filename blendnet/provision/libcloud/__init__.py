"""Clouds by way of apache-libcloud, and its list of prices. Nobody else imports libcloud."""
