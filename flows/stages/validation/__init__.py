"""What validation needs: experiments of its own, the climate of cells, what each section is made from."""
