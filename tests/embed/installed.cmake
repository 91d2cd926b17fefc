# Installs the embeddable library into a fresh tree, builds examples/fault_injection against it and
# runs it. The package is looked for twice, and wants nothing that is the plugin's. The tree goes
# away, passed or failed.
set(work ${BUILD}/embed-install)
set(failure "")
function(step)
  if(failure)
    return()
  endif()
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE out)
  if(NOT status EQUAL 0)
    set(failure "${ARGN}\nended with ${status}:\n${out}" PARENT_SCOPE)
  endif()
endfunction()

file(REMOVE_RECURSE ${work})
step(${CMAKE_COMMAND} --install ${BUILD} --component embed --prefix ${work}/tree)
step(${CMAKE_COMMAND} -S ${SOURCE} -B ${work}/build -G ${GENERATOR}
  -D CMAKE_PREFIX_PATH=${work}/tree -D CMAKE_CXX_COMPILER=${CXX} -D CMAKE_C_COMPILER=${CC}
  -D CMAKE_BUILD_TYPE=${TYPE} -D CMAKE_CXX_FLAGS=${FLAGS}
  -D CMAKE_PROJECT_fault_injection_INCLUDE=${CMAKE_CURRENT_LIST_DIR}/found_again.cmake)
if(NOT failure)
  file(STRINGS ${work}/build/CMakeCache.txt plugins REGEX "^NDC_msgpack_|^gRPC_DIR")
  if(NOT plugins STREQUAL "")
    set(failure "the package looked for ${plugins}")
  endif()
endif()
step(${CMAKE_COMMAND} --build ${work}/build)
step(${work}/build/fault_injection)
file(REMOVE_RECURSE ${work})
if(failure)
  message(FATAL_ERROR "${failure}")
endif()
