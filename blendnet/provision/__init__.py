"""Who gives machines for agents: base.py is the contract, each other module one provider."""
