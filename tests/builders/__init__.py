"""What the tests and the benchmarks build their cases with: concepts, small models, workflows, a real server."""
