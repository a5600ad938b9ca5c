"""How the network's weights were made, and what is measured of them."""
