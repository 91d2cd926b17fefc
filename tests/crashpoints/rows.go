package crashpoints

// representatives are rows for every run of the tests: one of each kind of step, quickly.
var representatives []row
