"""One file per suite: what is measured against what, and the bound that must hold."""
