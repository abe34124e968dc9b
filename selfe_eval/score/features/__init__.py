"""Feature extractors: RGB bytes in, one vector for each image out. One protocol, one table, one store."""
