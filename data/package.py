"""The bundle of ntviz, as `ntviz.environment.data_dir` finds it; README.md says what it is and its licences."""
