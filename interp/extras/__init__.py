"""What needs a package that the core does without: other loaders, clusters, logs and libraries."""
