"""The parts of the example scene: modelling and materials (tools), instrument, surroundings, picture."""
