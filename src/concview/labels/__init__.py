"""In whose name a thread or task works: labels out of the frames that it is in.

A kind (`kinds`, one file each) names the functions whose frames tell something, and reads it out of their variables.
`reader` does that for a whole stack and says what it was concluded from, so that it can be read a second time; `policy`
makes of what was read what may be told.
"""
