"""What production needs: its plan and price, one region, the days that continue one."""
