"""A small forge and a script in a model's place, so that the demo's runs need no key and no network."""
