"""From images to scores: GenEval's rules, detectors, colours, and the metrics."""
