"""What training needs: samples, folds of a search, the calibration of the uncertainty, where the networks apply."""
