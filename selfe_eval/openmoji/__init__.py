"""The openmoji world: small scenes with known truth, composed of OpenMoji pictures of GenEval's 80 classes in its ten colours."""
