"""How fast training is on the machine at hand, beside a loop as it is commonly written."""
