"""Who may talk to whom: the Manager's certificate authority and its logins."""
