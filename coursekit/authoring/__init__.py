"""Write it: quoted code, exercises, stored outputs and the rules of a lesson, kept true."""
