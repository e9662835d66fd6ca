"""LipOpt's Krivine-Stengle certificates by linear programming."""
