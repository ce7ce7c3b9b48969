"""The suites: a package for each subject, with its workloads, its contenders, their work and the report."""
