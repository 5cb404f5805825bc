"""Machines of Amazon EC2, through boto3. provider.py is the contract, account.py what a farm needs in an account."""
