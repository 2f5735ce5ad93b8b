"""What a lesson uses: run it, see it, measure it, try it, judge it, write it."""
