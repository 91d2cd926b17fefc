# CAF's core as target CAF::core, from the first of: CAF's own CMake package (1.x, Homebrew), the
# archive that scripts/caf built (NDC_CAF_VARIANT says which), Debian's shared library.

find_package(CAF CONFIG QUIET COMPONENTS core)

if(NOT TARGET CAF::core)
  ndc_cache_directory(_caf_cache)
  set(_caf_built ${_caf_cache}/caf-0.17.6-${NDC_CAF_VARIANT})

  if(EXISTS ${_caf_built}/lib/libcaf_core_static.a)
    set(_caf_library ${_caf_built}/lib/libcaf_core_static.a)
    set(_caf_include ${_caf_built}/include)
  elseif(NDC_CAF_VARIANT STREQUAL "tsan")
    # Without an instrumented core every message looks like a race.
    message(FATAL_ERROR "no CAF core for ThreadSanitizer in ${_caf_built}: run scripts/caf tsan")
  else()
    find_library(NDC_CAF_LIBRARY caf_core)
    find_path(NDC_CAF_INCLUDE_DIR caf/actor_system.hpp)
    set(_caf_library ${NDC_CAF_LIBRARY})
    set(_caf_include ${NDC_CAF_INCLUDE_DIR})
  endif()

  if(_caf_library AND _caf_include)
    add_library(CAF::core UNKNOWN IMPORTED)
    set_target_properties(CAF::core PROPERTIES
      IMPORTED_LOCATION "${_caf_library}"
      INTERFACE_INCLUDE_DIRECTORIES "${_caf_include}"
      INTERFACE_LINK_LIBRARIES Threads::Threads)
  endif()
endif()

if(TARGET CAF::core)
  get_target_property(_caf_where CAF::core IMPORTED_LOCATION)
  message(STATUS "CAF core: ${_caf_where}")
  set(CafCore_FOUND TRUE)
elseif(CafCore_FIND_REQUIRED)
  message(FATAL_ERROR "CAF not found: run scripts/setup")
endif()
