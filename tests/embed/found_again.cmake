# Included by the example's project(): at the end of its directory the package is looked for once
# more, as where parts of a project do so one after the other.
cmake_language(DEFER CALL find_package nomad_driver_container REQUIRED)
