"""What production needs: its plan and price, the work of one region, and the days that continue a region."""
